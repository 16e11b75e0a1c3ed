"""Why a library takes the time it takes: the limit of each kernel, and findings with a cure."""
