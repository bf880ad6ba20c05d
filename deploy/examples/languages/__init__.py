"""An example of a processor: the language and the number of words of each record's text, in a table of its own.

A Django app that a deployment can add. Use it as it is, or copy this directory into a package of your own. In a copy, change
the name and the label in `apps.py`, the app's label in the migrations, and the processor's name:

    pip install --require-hashes -r deploy/requirements/examples.txt
    EVERMUSE_APPS=deploy.examples.languages
    EVERMUSE_PROCESSORS=deploy.examples.languages.processor.Languages
    python manage.py migrate
"""
