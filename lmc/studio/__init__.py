"""The studio: one page to write, try, compare and compile programs, served to one person.

`application` is the ASGI application. Programs run in processes of their own (`worker`), so that
the page lives on when one hangs, and ends when the page is told so.
"""
