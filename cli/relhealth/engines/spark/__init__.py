"""Components by a cluster: the session, the SQL, the relation of the sources, and the engine."""
