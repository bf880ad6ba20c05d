"""`evermuse send`: files become batches, and every record is accounted for.

reading ▸ checking (the server's validator) ▸ grouping ▸ known (what the server has) ▸ journal ▸ delivery ▸ rejects
"""
