"""From a bundle to a validated configuration: ``load``, ``rules``, ``report``, ``template``, ``types``.

The configuration is the JSON document itself, in the words of the spec; there is no second set of classes.
"""
