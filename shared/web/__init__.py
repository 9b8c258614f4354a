"""Parts of the pages that are about to be folded into `shared/pages`."""
