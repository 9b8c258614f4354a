"""All SQL of the segmenter: `facts` and `customers` by subject, `publishing` for what others are told."""
