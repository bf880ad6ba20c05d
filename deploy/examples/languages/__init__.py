"""An example of a processor: the language and the number of words of each record's text, in a table of its own.

A Django app that a deployment adds. Copy this directory, or name it as it is:

    pip install --require-hashes -r deploy/requirements/examples.txt
    EVERMUSE_APPS=deploy.examples.languages
    EVERMUSE_PROCESSORS=deploy.examples.languages.processor.Languages
    python manage.py migrate
"""
