"""The compiled artifact in an app: three lines."""

import lmc

triage = lmc.load("triage.lmpc")
ticket = triage.main(message="The parcel with the lamp has not arrived. This is a disgrace!")
print(ticket.desk, ticket.queue)
