"""Access policy: the restriction lists of postconf(5), as functions of facts.

    outcome = evaluate(policy, "RCPT", facts)      # Outcome, or Missing facts to fetch before it is asked again

`lists` has the rules of evaluation, `run` what one evaluation keeps, `facts` what restrictions know, and `registry` the
function of each restriction; each family of restrictions has a file of its own.  All of that is synchronous and touches
nothing: `driver` asks the DNS, lookup and policy servers for what is missing and carries the outcome out.
"""
