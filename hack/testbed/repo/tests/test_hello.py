def test_hello_world():
    from utils import hello_world

    assert hello_world() == "Hello, World!"
