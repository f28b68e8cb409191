"""The compiled artifact in an app: three lines."""

import lmc

triage = lmc.load("triage.lmpc")
ticket = triage.main(message="My parcel has not arrived yet. I am a bit worried.")
print(ticket.desk, ticket.queue)
