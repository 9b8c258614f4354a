"""Lifelike traffic for a product that runs. Speaks HTTP only, as a storefront would.

`shop` invents customers and what they do, `comments` what they write, `sending` posts it, `command` is
`closeloop demo`; what comes back out is shown by `cli.listen`.
"""
