"""Rating by people: a blinded page to hand out, and what the answers say."""
