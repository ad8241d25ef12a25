"""The company, its people and org units with validity, logins; who may see what."""
