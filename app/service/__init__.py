"""What a page, a shell and an API ask for, without gradio."""
