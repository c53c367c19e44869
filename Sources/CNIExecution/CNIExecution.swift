// CNIExecution
