-- delay     (new) → delayed
-- uses      put state admit
-- args      now due id record
-- returns   1; 0 when the id is known already; the id of the job that holds its unique key

return admit_delayed(id, record, due)
