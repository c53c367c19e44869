// CNIRuntime
