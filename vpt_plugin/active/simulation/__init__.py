"""What active learning would have saved: a labelled set is replayed as if nobody had labelled it.

``sides`` draws who is held out and who may be chosen, ``learners`` make a network of what is labelled so far,
``replay`` is one strategy with one seed, ``records`` keep what was found, ``summary`` compares strategies,
``figure`` draws them, and ``simulate`` does all of it and goes on after an interruption. ``settings`` and
``enough`` tell what cannot be simulated; they load none of the large packages, so nothing is imported here.
"""
