"""The `reloc` command: argparse and printing only, one file for each sub-command."""
