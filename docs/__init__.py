"""The site: its pages, and the programs that fill and check them."""
