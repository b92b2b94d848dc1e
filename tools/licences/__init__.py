"""The licences of everything that is installed beside lipstage: a list, a page of it, and a test against both."""
