"""`stream-app explain`: why a user was answered so, from the topics alone."""
