"""Are dictionaries of a domain better there than broad ones? (O'Neill et al. 2508.09363)"""
