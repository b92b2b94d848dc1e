// Speech from the microphone, as WebM with Opus where the browser can.

const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const ENDINGS = { "audio/webm": "webm", "audio/ogg": "ogg", "audio/mp4": "m4a" };

export const hasMicrophone = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

/**
 * Begin to record. `onLevel` gets the seconds so far and the loudness, 0 to 1, about ten times a second. Resolves to
 * `{stop}`, whose result is a promise of the file. Rejects where the microphone may not be used.
 */
export async function record(onLevel) {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, channelCount: 1 },
  });
  const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
  const recorder = new MediaRecorder(stream, mimeType ? { mimeType } : {});
  const chunks = [];
  recorder.ondataavailable = (event) => event.data.size && chunks.push(event.data);
  const sound = new AudioContext();
  const analyser = sound.createAnalyser();
  sound.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const began = performance.now();
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const loudest = samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
    onLevel((performance.now() - began) / 1000, Math.min(1, loudest));
  }, 100);
  const ended = new Promise((resolve) => {
    recorder.onstop = () => {
      clearInterval(timer);
      stream.getTracks().forEach((track) => track.stop());
      sound.close();
      const type = (recorder.mimeType || "audio/webm").split(";")[0];
      resolve(new File(chunks, `recording.${ENDINGS[type] ?? "webm"}`, { type }));
    };
  });
  // A track that ends by itself (the microphone is pulled out) ends the recording, too.
  recorder.start(1000);
  return {
    stop() {
      if (recorder.state !== "inactive") recorder.stop();
      return ended;
    },
  };
}
