"""How clients reach us. Nothing in here knows of upstreams: it is handed the router."""
