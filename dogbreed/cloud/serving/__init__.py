"""Services in the account: one model behind an endpoint, a serverless endpoint, a function, or machines.

Each way is a module of `deployment.DOORS` that has the functions of `deployment.Door`; `dogbreed deploy`, `status`,
`predict`, `scale` and `destroy` know no more of it. Names follow from project and door, so there is one of each.
"""
