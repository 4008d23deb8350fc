"""The pipeline that tags a space. Read `pipeline.py` first."""
