"""What is for sale, for the eyes of people: titles and photos. No prediction depends on it."""
