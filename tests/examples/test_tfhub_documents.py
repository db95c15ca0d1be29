from examples import tfhub_documents
from relmo.compat import tfhub
from tests.helpers import tiny_elmo


def test_documents_become_vectors_and_each_has_a_nearest(capsys):
    tfhub_documents.main(tfhub.load(tiny_elmo()))
    printed = capsys.readouterr().out
    assert printed.startswith("documents -> (4, 10, 8): documents, tokens, numbers a token\n")
    for document in tfhub_documents.DOCUMENTS:
        assert f"{len(document.split())} tokens: {document}\n" in printed
    assert printed.count("    nearest (") == 4
