// Public codes in plain words: what happened, and what to do. docs/messages.md has all codes.

export const problems = {
  // The way to the gateway, and the gateway itself.
  GATEWAY_UNREACHABLE: [
    "The server can't be reached.",
    "Check your connection. Nothing that was accepted is lost; try again in a moment.",
  ],
  UNAUTHENTICATED: [
    "This API key is not valid.",
    "It may have expired or been revoked. Ask whoever gave it to you for a new one.",
  ],
  FORBIDDEN: ["Your API key does not allow this.", "Ask an operator."],
  RATE_LIMITED: ["Too many requests at once.", "Wait a few seconds and try again."],
  TOO_MANY_UPLOADS: ["Many files are being uploaded right now.", "Try again in a moment."],
  TOO_MANY_WATCHERS: ["Too many people are watching renders right now.", "The page asks again by itself."],
  BROKER_UNREACHABLE: [
    "The service is not available right now.",
    "Try again in a minute. If it stays so, tell an operator.",
  ],
  STORE_UNREACHABLE: [
    "The file store is not available right now.",
    "Try again in a minute. If it stays so, tell an operator.",
  ],
  UNREACHABLE: ["A part of the service is not available right now.", "Try again in a minute."],
  TRACES_UNREACHABLE: [
    "The trace can't be loaded.",
    "Traces are kept by a service of its own, which does not answer or is not set up here. The video is not affected.",
  ],
  REQUEST_TIMEOUT: ["The upload took too long.", "Try again with a better connection or a smaller file."],
  JOB_NOT_FOUND: ["There is no such render.", "It may have been deleted, or it belongs to somebody else."],
  JOB_PURGED: ["This render was deleted.", "Its files can't be restored."],
  JOB_ENDED: ["The render has already ended.", "There is nothing left to cancel."],
  JOB_NOT_FINISHED: ["The render has not ended yet.", "Wait until it ends, or cancel it first."],
  JOB_CONFLICT: ["Another render has this name already.", "Try again: it will get a new one."],
  JOB_WITHOUT_RESULT: ["This render has no video.", "It did not end well. Its page says why."],
  TRACES_REFUSED: [
    "The trace can't be loaded.",
    "The service that keeps traces refused the question. The video is not affected.",
  ],
  UNSUPPORTED_MEDIA_TYPE: ["This kind of file is not accepted.", "Choose another file."],
  PURGE_INCOMPLETE: ["Not everything could be deleted.", "Try again in a minute; what is gone stays gone."],
  DEAD_LETTER_NOT_FOUND: ["There is no such dead letter.", "It may have expired. Load the list again."],
  ARTIFACT_UNAVAILABLE: [
    "The file is not there any more.",
    "It was deleted, or its time has passed. Make the video again.",
  ],
  CAMERA_BLOCKED: ["The camera can't be used.", "Allow it in the settings of your browser, or choose a file instead."],
  MICROPHONE_BLOCKED: [
    "The microphone can't be used.",
    "Allow it in the settings of your browser, or choose a file instead.",
  ],
  // The request.
  INVALID_REQUEST: ["Something in the request is not valid.", "Check the settings."],
  MESSAGE_TOO_LARGE: ["The request is too large.", "Use fewer or shorter labels."],
  ENGINE_UNAVAILABLE: ["This engine is not running here.", "Choose another engine in the settings."],
  QUOTA_EXCEEDED: ["Your quota is used up.", "Try again later, or ask an operator for a larger one."],
  CONSENT_REQUIRED: [
    "A reference to the consent of the person in the picture is required here.",
    "Submit through the API with the field consent, or ask an operator.",
  ],
  EXPIRED: ["The video was not ready before its deadline.", "Try again with more time, or when less is waiting."],
  CANCELLED: ["The render was cancelled.", ""],
  TENANT_FORBIDDEN: ["You may not submit for this tenant.", "Sign in with another API key."],
  INPUT_NOT_FOUND: ["An uploaded file is missing.", "Choose the files again and submit once more."],
  INPUT_DIGEST_MISMATCH: ["A file changed while it was uploaded.", "Choose the files again and submit once more."],
  INPUT_TOO_LARGE: ["The file is too large.", "Use a smaller picture or a shorter recording."],
  INPUT_FORBIDDEN: ["This file may not be read.", "Choose the files again and submit once more."],
  // The portrait.
  IMAGE_UNREADABLE: [
    "This picture can't be read.",
    "Use a JPEG, PNG, WebP, AVIF or HEIC file that opens on your device.",
  ],
  IMAGE_TOO_LARGE: ["The picture has too many pixels.", "Use one of at most 65 megapixels."],
  IMAGE_TOO_SMALL: ["The picture is too small.", "Use a larger one: the face should be at least 100 pixels wide."],
  NO_FACE: ["No face was found in the picture.", "Use a clear photo of one person who looks at the camera."],
  FACE_NOT_FOUND: ["The chosen face was not found in the picture.", "Choose another face, or another picture."],
  FACE_TOO_SMALL: ["The face is too small.", "Use a picture that was taken closer."],
  FACE_CUT_OFF: [
    "The edge of the picture cuts off the face.",
    "Use a picture of the whole face, with some room around it.",
  ],
  ROTATED_PORTRAIT: ["The picture lay on its side.", "It was turned upright. Check that this is right."],
  EXTREME_POSE: ["The face is turned far to the side.", "The mouth may look distorted. A frontal photo works best."],
  STRONG_POSE: ["The face is turned to the side.", "A frontal photo works best."],
  MULTIPLE_FACES: [
    "There is more than one face in the picture.",
    "The largest one in the middle speaks, unless you choose another.",
  ],
  LOW_CONFIDENCE_FACE: ["The face is hard to make out.", "A clearer, brighter photo gives a better video."],
  OCCLUDED_MOUTH: ["Something seems to cover the mouth.", "Use a photo in which the mouth can be seen."],
  LOW_RESOLUTION: ["The face has few pixels.", "The video will be soft. A larger photo gives a sharper one."],
  // The speech.
  AUDIO_UNREADABLE: [
    "This recording can't be read.",
    "Use a WAV, MP3, M4A, OGG, FLAC or WebM file that plays on your device.",
  ],
  AUDIO_EMPTY: ["The recording is empty.", "Record again, or choose another file."],
  AUDIO_TOO_SHORT: ["The recording is too short.", "Use at least a fifth of a second of speech."],
  AUDIO_TOO_LONG: ["The recording is too long.", "Cut it into shorter parts."],
  SILENT_AUDIO: ["The recording is silent.", "Check the microphone and record again."],
  NO_SPEECH: ["No speech was heard in the recording.", "The mouth will stay closed."],
  NOISY_AUDIO: ["There is much noise in the recording.", "The lips may follow the noise. A quiet room helps."],
  DURATION_CORRECTED: ["The length was corrected to that of the recording.", ""],
  NON_OPTIMAL_STEPS: ["Few steps: the picture may be less stable.", "Use 20 or more for the final video."],
  // What goes wrong inside.
  OUT_OF_MEMORY: [
    "The picture or the recording is too large for the machine that renders.",
    "Use a lower resolution or a shorter recording.",
  ],
  INTERNAL: [
    "Something went wrong on our side.",
    "The render is kept for an operator, who can start it again. You need not do anything.",
  ],
  CRASH_LOOP: [
    "The render stopped the program several times.",
    "It is kept for an operator. Another picture or recording may work.",
  ],
  POISON: ["An internal message can't be read.", "An operator has to look at it."],
  ARTIFACT_MISSING: ["An intermediate file is missing.", "Make the video again; tell an operator if it happens again."],
  ARTIFACT_ALTERED: [
    "An intermediate file was changed.",
    "Make the video again; tell an operator if it happens again.",
  ],
  ARTIFACT_REFUSED: ["The file store refuses a file of this render.", "Tell an operator."],
  OUTPUT_REFUSED: ["The destination did not take the finished video.", "Tell an operator."],
  NO_SPACE: ["The machine has no free disk space.", "The render goes on by itself once there is some."],
  WEBHOOK_FAILED: ["An endpoint could not be told that a render ended.", "Ask its owner whether it works; then send the record again."],
  STORE_UNAVAILABLE: ["The file store does not answer.", "The render goes on by itself once it does."],
};
