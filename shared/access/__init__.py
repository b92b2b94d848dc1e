"""Who may do what: the rights of each service in Kafka and in the object store, in every form that systems take."""
