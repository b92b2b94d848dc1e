"""What a worker process gives up before it opens media: files by Landlock, system calls by seccomp."""
