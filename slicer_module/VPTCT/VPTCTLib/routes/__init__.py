"""The server's routes by subject, each as functions with typed answers; ``client.Client`` has all of them."""
