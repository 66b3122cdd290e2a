//! The shell of a flowpool daemon: command line, configuration file, logs, HTTP, signals.
