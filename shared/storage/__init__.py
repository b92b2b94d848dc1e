"""S3 artifacts, inputs, completion markers, the product cache and chunk manifests."""
