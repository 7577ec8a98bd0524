"""Tables: what a dataset promises (``schema``) and batches that were held against it (``batches``)."""
