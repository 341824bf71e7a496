"""The whole system on one machine, for `stream-app demo` and for tests."""
