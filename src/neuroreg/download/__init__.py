"""Files from the network: transfers that go on after a break, and a record of where a file came from."""
