"""PNG, JPEG and TIFF files to grey films."""
