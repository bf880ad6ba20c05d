"""`evermuse send`: sends the records of files in batches, and accounts for every record.

reading ▸ checking (the server's validator) ▸ grouping ▸ known (what the server has) ▸ journal ▸ delivery ▸ rejects
"""
