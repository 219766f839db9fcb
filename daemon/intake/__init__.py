"""From the inbox to the spool: watching, deciding which manifests are whole, and making jobs of them."""
