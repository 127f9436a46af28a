"""Adapters from the loop's `Model` port to servers of the OpenAI chat API."""
