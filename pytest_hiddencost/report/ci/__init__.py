"""Reports for reviewers: Markdown, annotations of GitHub Actions, code quality of GitLab."""
