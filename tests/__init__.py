"""Start with `fundamentals/`, in order; then `test_store_contract.py`, the arrows one by one."""
