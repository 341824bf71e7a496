"""The streaming application: events, transport, state, signals, web, producers, command line."""
