-- ring      give back a token that was perhaps taken from a bell and not used
-- uses      put
-- args      subscription
-- returns   1

ring(subscription)
return 1
