"""The portal: the web service behind the hub where a person reads their account.

Routes are thin (`pages`, `api`, `signin`), `accounts` decides what they show, `hub` is the only module
that talks to the hub, and `models` holds what the JSON API answers with.
"""
