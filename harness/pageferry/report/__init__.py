"""What people and programs are shown: tables for a terminal, JSON for the rest."""
