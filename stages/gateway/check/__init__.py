"""The check before a submission: what the audio and face stages would say of two files, without a job."""
