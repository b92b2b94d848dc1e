"""S3 artifacts, inputs, completion markers, the output cache and chunk manifests."""
